"""Images: references, registries, layers, the content-addressed store, and building those that podrun ships."""
