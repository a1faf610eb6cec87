"""Documents → model input: encoding schemes cut contexts into segments, which are tokenised."""
