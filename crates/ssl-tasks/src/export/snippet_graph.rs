//! Python that runs an exported graph, or loads an exported folder into timm.

use std::path::Path;

use ssl_encoders::Preprocessing;

use super::format::GraphInput;

/// A complete program that runs an ONNX file and defines `features(image)`.
pub(super) fn onnx(file: &Path, input: GraphInput, preprocessing: &Preprocessing, scores: bool) -> String {
    let Preprocessing { size, resize, mean, std } = *preprocessing;
    let resize = resize.max(size);
    let of =
        if scores { "# Of a PIL image; with output=\"scores\", its scores." } else { "# Of a PIL image." };
    let mut lines = vec![
        "import numpy as np".to_owned(),
        "import onnxruntime".to_owned(),
        "from PIL import Image".to_owned(),
        String::new(),
        format!("session = onnxruntime.InferenceSession({:?})", file.display().to_string()),
        String::new(),
        of.to_owned(),
        "def features(image, output=\"features\"):".to_owned(),
        "    image = image.convert(\"RGB\")".to_owned(),
        format!("    if image.size != ({size}, {size}):"),
        format!("        width, height = (side * {resize} // min(image.size) for side in image.size)"),
        "        image = image.resize((width, height), Image.Resampling.BILINEAR)".to_owned(),
        format!("        left, top = round((width - {size}) / 2), round((height - {size}) / 2)"),
        format!("        image = image.crop((left, top, left + {size}, top + {size}))"),
    ];
    lines.extend(pixels(input, mean, std));
    lines.push("    return session.run([output], {\"images\": pixels[None]})[0][0]".to_owned());
    lines.join("\n")
}

fn pixels(input: GraphInput, mean: [f32; 3], std: [f32; 3]) -> Vec<String> {
    let bytes = "    pixels = np.asarray(image)".to_owned();
    let unit = "    pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255".to_owned();
    match input {
        GraphInput::Bytes => vec![bytes],
        GraphInput::Unit => vec![unit],
        GraphInput::Normalized => vec![
            unit,
            format!("    mean, std = (np.float32(x).reshape(3, 1, 1) for x in ({mean:?}, {std:?}))"),
            "    pixels = (pixels - mean) / std".to_owned(),
        ],
    }
}

/// A complete program that loads a folder into timm and defines `features(image)`, and `scores(image)` for a classifier.
pub(super) fn timm_dir(folder: &Path, scores: bool) -> String {
    let path = format!("local-dir:{}", folder.display());
    let mut lines = vec![
        "import timm".to_owned(),
        "import torch".to_owned(),
        String::new(),
        format!("model = timm.create_model({path:?}, pretrained=True).eval()"),
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))".to_owned(),
    ];
    let function = |name: &str, value: &str| {
        [
            String::new(),
            format!("def {name}(image):  # of a PIL image"),
            "    images = transform(image.convert(\"RGB\"))[None]".to_owned(),
            "    with torch.no_grad():".to_owned(),
            format!("        return {value}[0]"),
        ]
    };
    lines.extend(function("features", "model.forward_head(model.forward_features(images), pre_logits=True)"));
    if scores {
        lines.extend(function("scores", "model(images)"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_prepares_what_the_graph_takes() {
        let program = |input| onnx(Path::new("e.onnx"), input, &Preprocessing::new(224), false);
        let [normalized, unit, bytes] =
            [GraphInput::Normalized, GraphInput::Unit, GraphInput::Bytes].map(program);
        assert!(normalized.contains("[0.485, 0.456, 0.406]") && normalized.contains("/ 255"), "{normalized}");
        assert!(!unit.contains("0.485") && unit.contains("/ 255"), "{unit}");
        assert!(!bytes.contains("0.485") && !bytes.contains("/ 255"), "{bytes}");
        assert!(bytes.contains("side * 256 // min(image.size)"), "{bytes}");
    }

    #[test]
    fn a_classifier_has_scores() {
        let program = timm_dir(Path::new("out"), true);
        assert!(program.contains("create_model(\"local-dir:out\", pretrained=True)"), "{program}");
        assert!(program.contains("def scores(image)"), "{program}");
        assert!(!timm_dir(Path::new("out"), false).contains("scores"));
    }
}
