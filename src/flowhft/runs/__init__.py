"""What a run leaves: its folder with a manifest, tables and archives; and named streams of random numbers."""
