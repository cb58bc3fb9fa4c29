"""What is looked for in every recording, and how it is mended."""
