//! TensorBoard's own reader reads the files back.

use std::io::Cursor;
use std::process::Command;

use image::{ImageFormat, Rgb, RgbImage};
use ssl_tensorboard::EventFile;

/// Prints tags, steps, values and the size of a picture.
const READ: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
tags = events.Tags()
print(sorted(tags['scalars']), tags['images'])
print([(event.step, event.value) for event in events.Scalars('train/loss')])
print([(event.step, event.value) for event in events.Scalars('eval/knn_top1')])
image, = events.Images('views')
print(image.step, image.width, image.height, image.encoded_image_string[:4])
";

#[test]
#[ignore = "needs a Python with tensorboard, named by BURN_SSL_PYTHON"]
fn tensorboard_reads_scalars_and_pictures_of_a_run_that_was_resumed() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with tensorboard");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut png = Cursor::new(Vec::new());
    let picture = RgbImage::from_pixel(30, 20, Rgb([200, 100, 0]));
    picture.write_to(&mut png, ImageFormat::Png).expect("encodable");
    let mut events = EventFile::create(folder.path()).expect("writable");
    events.png(0, "views", png.into_inner()).expect("writable");
    events.scalars(0, [("eval/knn_top1", 10.0)]).expect("writable");
    for step in [10, 20, 30] {
        events.scalars(step, [("train/loss", step as f64)]).expect("writable");
    }
    drop(events);
    // The run was killed after step 30, and its last checkpoint is of step 20.
    let mut events = EventFile::create(folder.path()).expect("writable");
    events.restarts(21).expect("writable");
    events.scalars(30, [("train/loss", 0.5)]).expect("writable");
    events.scalars(30, [("eval/knn_top1", 50.0)]).expect("writable");
    drop(events);

    let output = Command::new(python).args(["-c", READ]).arg(folder.path()).output().expect("Python starts");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let expected = [
        "['eval/knn_top1', 'train/loss'] ['views']",
        "[(10, 10.0), (20, 20.0), (30, 0.5)]",
        "[(0, 10.0), (30, 50.0)]",
        "0 30 20 b'\\x89PNG'",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{errors}");
}
