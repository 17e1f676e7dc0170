//! The page as text: sections, escaping, size. `cargo xtask report-check` looks at it in a browser.

use image::{Rgb, RgbImage};
use ssl_report::{
    Curves, Facts, Figure, Gallery, GalleryOptions, Line, Looks, Note, Page, Panel, Row, Rows, Sampled,
    Table, Tone, Verdict, room,
};

/// The ids of the sections, in order.
fn sections(html: &str) -> Vec<&str> {
    html.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What the navigation leads to.
fn links(html: &str) -> Vec<&str> {
    html.split("<a href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn gallery(images: usize, side: u32) -> Gallery {
    labelled(images, side, &[])
}

/// Images of noise, which is hard to compress, of these classes in turn.
fn labelled(images: usize, side: u32, classes: &[String]) -> Gallery {
    let picture = |seed: u32| {
        RgbImage::from_fn(side, side, |x, y| {
            let mixed = (x + side * y + side * side * seed).wrapping_mul(2_654_435_761);
            Rgb([(mixed >> 24) as u8, (mixed >> 16) as u8, (mixed >> 8) as u8])
        })
    };
    let sampled = |place: usize| Sampled {
        name: format!("photos/{place:05}-<b>\".jpg"),
        label: place.checked_rem(classes.len()),
        picture: picture(place as u32),
    };
    let rows = Rows::new((0..images * 4).map(|at| ((at * at) as f32 * 0.7).sin()).collect(), 4);
    let sample: Vec<_> = (0..images).map(sampled).collect();
    Gallery::new(&sample, classes, rows, GalleryOptions::default()).expect("encodable")
}

#[test]
fn an_empty_page_has_no_sections_and_a_full_one_has_all_in_order() {
    let empty = Page::new("nothing").render().expect("a page");
    assert_eq!((sections(&empty), links(&empty)), (vec![], vec![]));
    assert!(empty.starts_with("<!DOCTYPE html>") && empty.contains("<title>nothing</title>"));

    let table = Table { title: "Accuracy".into(), columns: vec!["features".into()], ..Table::default() };
    let lines = vec![Line::new(0, [(0.0, 2.0), (1.0, 1.0)])];
    let page = Page {
        verdict: Some(Verdict { tone: Tone::Bad, sentence: "No.".into(), details: vec![] }),
        findings: vec![Note {
            tone: Tone::Bad,
            title: "a-rule".into(),
            text: "All is equal.".into(),
            remedy: "optimizer.lr=0.1".into(),
            reference: "a paper".into(),
        }],
        compared: vec![table.clone()],
        curves: Some(Curves {
            unit: "epoch".into(),
            runs: vec!["a".into()],
            panels: vec![Panel { title: "loss".into(), main: true, lines }],
        }),
        differences: Some(table.clone()),
        accuracy: Some(table),
        gallery: Some(gallery(20, 16)),
        facts: vec![Facts { title: "Recipe".into(), text: "seed = 0".into(), ..Facts::default() }],
        ..Page::new("all")
    };
    let html = page.render().expect("a page");
    let after_the_verdict = [
        "findings",
        "compared",
        "curves",
        "differences",
        "accuracy",
        "map",
        "neighbours",
        "clusters",
        "data",
        "facts",
    ];
    assert_eq!(sections(&html)[1..], after_the_verdict);
    assert!(html.contains("<code>optimizer.lr=0.1</code>"));
    assert_eq!(links(&html), after_the_verdict);
}

#[test]
fn names_from_files_cannot_become_tags() {
    let page = Page { gallery: Some(gallery(12, 16)), ..Page::new("<script>alert(1)</script>") };
    let html = page.render().expect("a page");
    assert!(!html.contains("<script>alert") && !html.contains("<b>"), "names are escaped");
    assert!(html.contains("&lt;script&gt;alert") && html.contains("\\u003cb>"));
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let html = Page { gallery: Some(gallery(12, 16)), ..Page::new("all") }.render().expect("a page");
    assert!(html.contains("default-src 'none'"));
    for attribute in ["src=\"", "href=\"", "url("] {
        let targets = html.split(attribute).skip(1);
        let mut elsewhere = targets.filter(|rest| !rest.starts_with("data:") && !rest.starts_with('#'));
        assert_eq!(elsewhere.next().map(|rest| &rest[..rest.len().min(60)]), None, "{attribute}");
    }
}

/// A picture that takes as many bytes as it may, and the few that `data_uri` may add.
fn picture(bytes: usize) -> String {
    format!("data:image/jpeg;base64,{}", "/".repeat(bytes + 4))
}

/// Curves of more points and more lines than a page takes.
fn long_curves() -> Curves {
    let line = |run: usize| {
        Line::new(run, (0..50_000).map(|step| (f64::from(step) / 7.0, f64::from(step).sin() / 1e5)))
    };
    let panel =
        |at: usize| Panel { title: format!("metric {at}"), main: at < 5, lines: (0..4).map(line).collect() };
    Curves {
        unit: "step".into(),
        runs: (0..4).map(|run| format!("run {run}")).collect(),
        panels: (0..15).map(panel).collect(),
    }
}

/// A page whose parts are all as large as they may be.
fn largest() -> Page {
    let classes: Vec<String> = (0..1000).map(|class| format!("a class of things, number {class}")).collect();
    let figure = |bytes: usize| Figure { uri: picture(bytes), alt: "a".into(), caption: "a".into() };
    let row = |place: usize| Row {
        name: format!("photos/{place}.jpg"),
        pictures: vec![picture(room::LOOK); room::HEADS + 2],
    };
    Page {
        curves: Some(long_curves()),
        views: Some(figure(room::SHEET)),
        gallery: Some(labelled(room::IMAGES, 64, &classes)),
        shared: vec![figure(room::SHARED_PICTURE); room::SHARED],
        looks: Some(Looks {
            caption: String::new(),
            columns: vec!["a head".into(); room::HEADS + 2],
            rows: (0..room::LOOKED_AT).map(row).collect(),
        }),
        facts: vec![Facts {
            title: "Recipe".into(),
            text: "key = \"value\"\n".repeat(1000),
            ..Facts::default()
        }],
        ..Page::new("large")
    }
}

#[test]
fn a_page_whose_parts_are_all_as_large_as_they_may_be_fits_into_six_megabytes() {
    let html = largest().render().expect("a page");
    assert!((2_500_000..=room::PAGE).contains(&html.len()), "{} bytes", html.len());
    // What is said above about the size of pictures is true of the page: none of their bytes are escaped.
    assert!(!html.contains("base64,&#"));
    assert_eq!(html.matches("base64,///").count(), 1 + room::SHARED + room::LOOKED_AT * (room::HEADS + 2));
}
