#![doc = include_str!("../README.md")]

mod curves;
mod error;
mod gallery;
mod page;
mod picture;
pub mod room;
mod rows;
mod thumbnails;

pub use curves::{Curves, Line, Panel};
pub use error::Error;
pub use gallery::{Cluster, Gallery, GalleryOptions, Layout, Map, Neighbours, Pair, Placed, Sampled};
pub use page::{Facts, Figure, Looks, Note, Page, Row, Table, Tile, Tone, Verdict};
pub use picture::{coloured, data_uri, enlarged, heat, squared};
#[cfg(feature = "tsne")]
pub use rows::tsne;
pub use rows::{Principal, Rows, kmeans, nearest, principal};
pub use thumbnails::Thumbnails;
