//! Image data sets, augmented views and an ordered, seeded loader.
