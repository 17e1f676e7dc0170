//! ResNet and ViT encoders with torchvision and timm parameter names
