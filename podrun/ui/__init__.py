"""The open box in a browser: the page itself, how it is let in, and the pictures that it is sent."""
