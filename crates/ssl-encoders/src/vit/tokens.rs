//! A ViT as a token encoder.

use burn::tensor::{Bool, Int, Tensor};
use ssl_core::nn::pos_embed_for;
use ssl_core::patches::{rows_at, shared_rows_at};
use ssl_core::{Encoder, Masking, Pass, TokenEncoder, Tokens};

use super::{Pool, Vit};

impl TokenEncoder for Vit {
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, both multiples of the patch size
    ///
    /// # Panics
    /// If the image size is not a multiple of the patch size, if the mask does not match the number of images or
    /// patches, or if patches are to be replaced and there is no mask token.
    ///
    /// # Source
    /// Kept patches: MAE `models_mae.py`, `forward_encoder`. Replaced patches: DINOv2 `vision_transformer.py`,
    /// `prepare_tokens_with_masks`: the mask token replaces a patch before its position is added.
    fn encode_tokens(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Tokens {
        self.finish(self.last_tokens(images, masking, pass))
    }

    /// In the last block, the other tokens are only seen: what would be computed of them is read by nobody.
    fn encode_class(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Option<Tensor<2>> {
        self.cls_token.as_ref()?;
        let tokens = self.first_tokens(images, masking);
        let tokens = match self.blocks.split_last() {
            Some((last, before)) => {
                let tokens = before.iter().fold(tokens, |tokens, block| block.forward(tokens, pass));
                last.forward_first(tokens, 1, pass)
            }
            None => tokens.slice_dim(1, 0..1),
        };
        Some(self.norm.forward(tokens).squeeze_dim(1))
    }

    fn encode_pooled(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Tensor<2> {
        match self.pool {
            Pool::Class => self.encode_class(images, masking, pass).expect("a ViT that is pooled so has one"),
            Pool::Mean => self.encode_tokens(images, masking, pass).patch_mean(),
        }
    }

    fn last_blocks(&self, images: Tensor<4>, count: usize, pass: &Pass) -> Vec<Tokens> {
        let depth = self.blocks.len();
        assert!(count <= depth, "a ViT of {depth} blocks was asked for its last {count}");
        let mut tokens = self.first_tokens(images, Masking::None);
        let mut outputs = Vec::with_capacity(count);
        for (index, block) in self.blocks.iter().enumerate() {
            tokens = block.forward(tokens, pass);
            if index + count >= depth {
                outputs.push(self.finish(tokens.clone()));
            }
        }
        outputs
    }

    /// # Panics
    /// If there is no class token or no block.
    fn class_attention(&self, images: Tensor<4>, pass: &Pass) -> Tensor<3> {
        assert!(
            self.cls_token.is_some(),
            "a ViT without a class token has no class-token attention: expected encoder.class_token = true"
        );
        let Some((last, before)) = self.blocks.split_last() else {
            panic!("a ViT without blocks has no attention")
        };
        let tokens = self.first_tokens(images, Masking::None);
        let tokens = before.iter().fold(tokens, |tokens, block| block.forward(tokens, pass));
        let attention = last.first_attention(tokens);
        let [_, _, length] = attention.dims();
        attention.slice_dim(2, self.first_patch()..length)
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        match self.pool {
            Pool::Class => tokens.pooled(),
            Pool::Mean => tokens.patch_mean(),
        }
    }

    /// # Panics
    /// If height and width are not multiples of the patch size.
    fn patch_grid(&self, pixels: [usize; 2]) -> [usize; 2] {
        self.patch_embed.grid(pixels)
    }

    fn depth(&self) -> usize {
        self.blocks.len()
    }

    fn patch_size(&self) -> usize {
        self.patch_embed.proj.weight.dims()[2]
    }

    fn side(&self) -> usize {
        let [_, entries, _] = self.pos_embed.dims();
        (entries - usize::from(self.cls_token.is_some())).isqrt()
    }

    fn has_class_token(&self) -> bool {
        self.cls_token.is_some()
    }

    fn has_mask_token(&self) -> bool {
        self.mask_token.is_some()
    }

    fn token_dim(&self) -> usize {
        self.feature_dim()
    }
}

impl Vit {
    /// All tokens after the last block, before the final norm, `[batch, token, dim]`.
    pub(super) fn last_tokens(&self, images: Tensor<4>, masking: Masking, pass: &Pass) -> Tensor<3> {
        let tokens = self.first_tokens(images, masking);
        self.blocks.iter().fold(tokens, |tokens, block| block.forward(tokens, pass))
    }

    /// Normalises all tokens and separates them by type.
    pub(super) fn finish(&self, tokens: Tensor<3>) -> Tokens {
        let tokens = self.norm.forward(tokens);
        let [_, length, _] = tokens.dims();
        let (class_tokens, first_patch) = (usize::from(self.cls_token.is_some()), self.first_patch());
        let part = |from: usize, to: usize| (from < to).then(|| tokens.clone().slice_dim(1, from..to));
        Tokens {
            class: part(0, class_tokens).map(|class| class.squeeze_dim(1)),
            registers: part(class_tokens, first_patch),
            patches: tokens.clone().slice_dim(1, first_patch..length),
        }
    }

    /// The input tokens of the first block, `[batch, token, dim]`.
    fn first_tokens(&self, images: Tensor<4>, masking: Masking) -> Tensor<3> {
        let [batch, _, height, width] = images.dims();
        let pixels = self.patch_embed.cut(images);
        let positions = pos_embed_for(self.pos_embed.val(), self.patch_grid([height, width]));
        let (patches, positions) = match masking {
            Masking::None => (self.patch_embed.project(pixels), positions),
            Masking::Keep(places) => {
                let positions = shared_rows_at(positions, self.with_class(places.clone()));
                (self.patch_embed.project(rows_at(pixels, places)), positions)
            }
            Masking::Replace(mask) => (self.replace(self.patch_embed.project(pixels), mask), positions),
        };
        let tokens = match &self.cls_token {
            Some(class) => Tensor::cat(vec![batched(class.val(), batch), patches], 1),
            None => patches,
        };
        self.with_registers(tokens + positions)
    }

    /// Shifts patch indices past the class token's entry of the position embedding, and prepends that entry.
    fn with_class(&self, places: Tensor<2, Int>) -> Tensor<2, Int> {
        match self.cls_token {
            Some(_) => {
                let [batch, _] = places.dims();
                Tensor::cat(vec![Tensor::zeros([batch, 1], &places.device()), places + 1], 1)
            }
            None => places,
        }
    }

    /// `patches` with the mask token where `mask` is true.
    fn replace(&self, patches: Tensor<3>, mask: Tensor<2, Bool>) -> Tensor<3> {
        let [batch, length, dim] = patches.dims();
        let found = mask.dims();
        assert_eq!(
            found,
            [batch, length],
            "a mask of shape {found:?} does not fit {batch} images of {length} patches"
        );
        let Some(token) = &self.mask_token else {
            panic!("a ViT without a mask token cannot hide patches: expected encoder.mask_token = true");
        };
        let token = token.val().unsqueeze::<3>().expand([batch, length, dim]);
        patches.mask_where(mask.unsqueeze_dim::<3>(2).expand([batch, length, dim]), token)
    }

    /// Inserts the registers after the class token. They are added after the positions, since they have none.
    fn with_registers(&self, tokens: Tensor<3>) -> Tensor<3> {
        let Some(registers) = &self.register_tokens else { return tokens };
        let [batch, length, _] = tokens.dims();
        let registers = batched(registers.val(), batch);
        match self.cls_token {
            Some(_) => {
                let class = tokens.clone().slice_dim(1, 0..1);
                Tensor::cat(vec![class, registers, tokens.slice_dim(1, 1..length)], 1)
            }
            None => Tensor::cat(vec![registers, tokens], 1),
        }
    }

    /// Number of tokens before the patches.
    fn first_patch(&self) -> usize {
        let registers = self.register_tokens.as_ref().map_or(0, |registers| registers.dims()[1]);
        usize::from(self.cls_token.is_some()) + registers
    }
}

/// The same rows for every image: `[1, row, dim]` as `[batch, row, dim]`.
fn batched(rows: Tensor<3>, batch: usize) -> Tensor<3> {
    let [_, count, dim] = rows.dims();
    rows.expand([batch, count, dim])
}
