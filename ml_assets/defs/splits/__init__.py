"""Split versions: which flight belongs to train, val or test. Labels play no part."""
