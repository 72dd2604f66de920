"""What is remembered from one night to the next: the site's words and a small index of each night."""
