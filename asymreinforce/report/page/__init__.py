"""The report as one HTML file: what each part of the page shows."""
