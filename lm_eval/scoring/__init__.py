"""All configurations that share a pass, from their documents to metrics and the content of result files."""
