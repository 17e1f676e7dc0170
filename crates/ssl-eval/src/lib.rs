//! k-NN, embeddings and representation metrics for encoders
