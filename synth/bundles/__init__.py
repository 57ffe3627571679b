"""What is done with a bundle or a candidates file: looked into, drawn again, written as PNGs."""
