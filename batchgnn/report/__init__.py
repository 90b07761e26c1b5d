"""`batchgnn report`: what runs did, in one HTML page."""
