//! Figures of the template engine: a page of a template over 20 variables.

use std::collections::BTreeMap;
use std::hint::black_box;

use chancery::template::{Chance, Dialect, Template};
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use seal::SecretBytes;

fn variables(object: usize) -> BTreeMap<String, SecretBytes> {
    (0..20).map(|index| (format!("key_{index}"), format!("value-{object}-{index}").into())).collect()
}

/// About 60 lines, as a configuration file has them: fields, conditions, ranges, a block of JSON.
fn page(number: usize) -> String {
    let field = |index: usize| format!("field_{number}_{index}: {{{{ .key_{index} | quote }}}}\n");
    let fields: String = (0..20).map(field).collect();
    format!(
        "# page {number}\n{fields}\
         {{{{- define \"line\" }}}}- {{{{ . | upper | trunc 12 }}}}\n{{{{ end }}}}\
         {{{{ range $i, $word := splitList \"-\" .key_3 }}}}{{{{ template \"line\" $word }}}}{{{{ end }}}}\
         {{{{ if and .key_1 (ne .key_2 \"x\") }}}}url: https://{{{{ .key_1 }}}}:{{{{ .key_2 | urlquery }}}}@db/{number}\n{{{{ end }}}}\
         {{{{ with dict \"a\" .key_4 \"b\" (list 1 2 3) }}}}json: {{{{ toJson . | b64enc }}}}\n{{{{ end }}}}\
         {{{{ range until 20 }}}}line {{{{ printf \"%03d\" . }}}}: {{{{ $.key_5 | sha256sum | trunc 16 }}}}\n{{{{ end }}}}"
    )
}

fn chance() -> Chance {
    Chance::new(Timestamp::UNIX_EPOCH, [7; 32])
}

fn templates(criterion: &mut Criterion) {
    let parse = |text: &String| Template::parse("out", text, Dialect::SealedSecrets).ok();
    let pages: Vec<String> = (0..100).map(page).collect();
    let parsed: Vec<Template> = pages.iter().filter_map(parse).collect();
    let of_one = variables(0);
    let mut number = 0;
    criterion.bench_function("parse a page", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % pages.len();
            black_box(parse(&pages[number]))
        });
    });
    criterion.bench_function("render a page of 100, parsed before", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % parsed.len();
            black_box(parsed[number].render(&of_one, chance()).ok())
        });
    });
    criterion.bench_function("parse and render a page", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % pages.len();
            black_box(parse(&pages[number]).and_then(|template| template.render(&of_one, chance()).ok()))
        });
    });
    let objects: Vec<_> = (0..10_000).map(variables).collect();
    criterion.bench_function("one template for one of 10 000 objects", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % objects.len();
            black_box(parsed[0].render(&objects[number], chance()).ok())
        });
    });
}

criterion_group!(benches, templates);
criterion_main!(benches);
