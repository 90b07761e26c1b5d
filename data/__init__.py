"""Graph stores made: generators and converters."""
