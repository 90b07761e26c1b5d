"""`batchgnn doctor`: what a job would run on."""
