"""Document to view to HTML, text, JSON and mail. Computes nothing."""
