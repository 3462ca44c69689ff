"""An AceStream engine over real HTTP, with fault switches; it imports nothing of the rest."""
