"""Files of uploads: where they lie, and how they are read."""
