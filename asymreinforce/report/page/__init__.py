"""Build the report as one HTML file, part by part."""
