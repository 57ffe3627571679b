"""Studies that machines share: cells of a grid, or of a sampler, each done once by whichever worker comes first."""
