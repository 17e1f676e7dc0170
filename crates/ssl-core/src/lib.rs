//! Vocabulary and shared mechanism of self-supervised learning on Burn
