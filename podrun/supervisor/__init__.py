"""One worker per pod joins what `lifecycle` decides to what runtime, images, volumes and store do."""
