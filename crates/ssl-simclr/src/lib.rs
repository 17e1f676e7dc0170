//! SimCLR v1 and v2 on Burn
