//! How much of a page each part may take, so that the whole fits into [`PAGE`]: our choices, which a test of the page adds up.

/// Bytes of a page at most.
pub const PAGE: usize = 6_000_000;

/// Images of a gallery at most.
pub const IMAGES: usize = 2000;

/// Bytes of the thumbnails of a gallery, a JPEG that is not text yet.
pub(crate) const THUMBNAILS: usize = 2_400_000;

/// Bytes of the sheet of views, as text.
pub const SHEET: usize = 800_000;

/// Images that show what the network looks at.
pub const LOOKED_AT: usize = 6;

/// Heads of attention that are shown of each of them, between the image and its principal components.
pub const HEADS: usize = 6;

/// Bytes of each of these pictures, as text.
pub const LOOK: usize = 9000;

/// Test images among the training images that are shown.
pub const SHARED: usize = 12;

/// Bytes of each of them, as text.
pub const SHARED_PICTURE: usize = 6000;
