"""What is known of each dataset apart from reading it: one module with a record for each, see ``layout``."""
