"""Mode averaging: trainers of their own, whose parameters are averaged from time to time."""
