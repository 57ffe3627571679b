"""Few-shot image synthesis: from a folder of photographs to a bundle of selected synthetic images."""
