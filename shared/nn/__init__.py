"""What both packages need of torch: device choice, the offline backbone, exact resume, work at once."""
