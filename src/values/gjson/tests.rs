//! Held to what the reference showed when it ran, and to its library's documented examples.

use super::pick;

/// The value of the recorded case `property-gjson`.
const RECORDED: &str = r#"{"name": "orla", "n": {"first": "Tom", "deep": {"er": [1, 2, {"k": "v"}]}}, "friends": [{"f": "Dale", "age": 44}, {"f": "Roger", "age": 68}, {"f": "Jane", "age": 47}], "dot.key": "dotted", "a.b": {"c.d": "twice"}, "flt": 1.50, "exp": 1e3, "big": 12345678901234567890, "neg": -7, "yes": true, "nil": null, "obj": {"z": 1, "a": [1, 2]}, "empty": "", "html": "<&>", "uni": "\u00e9\u9b5a", "star*": "s"}"#;

#[test]
fn paths_lead_where_they_led_in_the_reference() {
    for (path, expected) in [
        ("n.first", "Tom"),
        ("friends.1.f", "Roger"),
        ("friends.#", "3"),
        ("friends.#.f", r#"["Dale","Roger","Jane"]"#),
        ("friends.#(age>45).f", "Roger"),
        ("friends.#(age>45)#.f", r#"["Roger","Jane"]"#),
        ("friends.#(f==\"Jane\").age", "47"),
        ("friends.#(f%\"D*\").f", "Dale"),
        (r"dot\.key", "dotted"),
        (r"a\.b.c\.d", "twice"),
        ("na*", "orla"),
        ("nam?", "orla"),
        ("friends|1|f", "Roger"),
        ("n|@keys", r#"["first","deep"]"#),
        ("n.deep|@values", r#"[[1, 2, {"k": "v"}]]"#),
        ("friends.#.f|@reverse", r#"["Jane","Roger","Dale"]"#),
        ("@this.name", "orla"),
        ("obj|@ugly", r#"{"z":1,"a":[1,2]}"#),
        ("{name,n.first}", r#"{"name":"orla","first":"Tom"}"#),
        ("[name,neg]", r#"["orla",-7]"#),
        ("flt", "1.5"),
        ("exp", "1000"),
        ("big", "12345678901234567890"),
        ("neg", "-7"),
        ("yes", "true"),
        ("nil", ""),
        ("obj", r#"{"z": 1, "a": [1, 2]}"#),
        ("n.deep.er", r#"[1, 2, {"k": "v"}]"#),
        ("n.deep.er.2.k", "v"),
        ("empty", ""),
        ("html", "<&>"),
        ("uni", "é魚"),
        ("!\"lit\"", "lit"),
        ("[[1],[2,[3]]]|@flatten", "[[]]"),
        ("neg|@tostr", "-7"),
        (r"star\*", "s"),
    ] {
        assert_eq!(pick(RECORDED, path).as_deref(), Some(expected), "{path}");
    }
    for path in [
        "name|@nope",
        "dot.key",
        "friends.#(f==\"Zed\").age",
        "name.x",
        "friends.9.f",
        "friends.x",
        "",
        "n.",
        "friends.#(",
    ] {
        assert_eq!(pick(RECORDED, path), None, "{path}");
    }
}

#[test]
fn the_language_is_whole() {
    let json = r#"{"name":{"first":"Tom","last":"Anderson"},"age":37,"children":["Sara","Alex","Jack"],"fav.movie":"Deer Hunter","friends":[{"first":"Dale","last":"Murphy","age":44,"nets":["ig","fb","tw"]},{"first":"Roger","last":"Craig","age":68,"nets":["fb","tw"]},{"first":"Jane","last":"Murphy","age":47,"nets":["ig","tw"]}],"t":[{"a":true},{"a":false},{"a":null},{"b":1}],"nest":[[1,[2]],[3]],"g":{"id":[1,2],"v":["x","y"]}}"#;
    for (path, expected) in [
        ("name.last", "Anderson"),
        ("children.1", "Alex"),
        ("child*.2", "Jack"),
        ("c?ildren.0", "Sara"),
        (r"fav\.movie", "Deer Hunter"),
        ("friends.#.first", r#"["Dale","Roger","Jane"]"#),
        (r#"friends.#(last=="Murphy").first"#, "Dale"),
        (r#"friends.#(last=="Murphy")#.first"#, r#"["Dale","Jane"]"#),
        (r#"friends.#(first%"D*").last"#, "Murphy"),
        (r#"friends.#(first!%"D*").last"#, "Craig"),
        (r#"friends.#(nets.#(=="fb"))#.first"#, r#"["Dale","Roger"]"#),
        (r#"children.#(!="Sara")#"#, r#"["Alex","Jack"]"#),
        (r#"children.#(>"Jack")"#, "Sara"),
        ("t.#(a==~true)#", r#"[{"a":true}]"#),
        ("t.#(a==~false)#", r#"[{"a":false},{"a":null}]"#),
        ("t.#(a==~null)#", r#"[{"a":null},{"b":1}]"#),
        ("t.#(a==~*)#.#", "[]"),
        ("t.#(b)#.b", "[1]"),
        ("children|@reverse", r#"["Jack","Alex","Sara"]"#),
        ("children|@reverse|0", "Jack"),
        ("children.@reverse.0", "Jack"),
        ("friends.#(age>100)#", "[]"),
        ("friends.#(last==\"Murphy\")#|#", "2"),
        ("nest|@flatten", "[1,[2],3]"),
        (r#"nest|@flatten:{"deep":true}"#, "[1,2,3]"),
        ("t|@join", r#"{"a":null,"b":1}"#),
        (r#"t.#(a==~*)#|@join:{"preserve":true}"#, r#"{"a":true,"a":false,"a":null}"#),
        ("g|@group", r#"[{"id":1,"v":"x"},{"id":2,"v":"y"}]"#),
        ("@dig:first", r#"["Tom","Dale","Roger","Jane"]"#),
        ("name|@tostr", r#"{"first":"Tom","last":"Anderson"}"#),
        ("name|@tostr|@fromstr|first", "Tom"),
        ("@valid|age", "37"),
        (r#"{age,"who":name.first,"kind":!"person"}"#, r#"{"age":37,"who":"Tom","kind":"person"}"#),
        ("[age,nothing,name.last]", r#"[37,"Anderson"]"#),
        ("friends.0.{first,age}", r#"{"first":"Dale","age":44}"#),
        ("friends.#.{first}", r#"[{"first":"Dale"},{"first":"Roger"},{"first":"Jane"}]"#),
        ("name|@pretty", "{\n  \"first\": \"Tom\",\n  \"last\": \"Anderson\"\n}"),
        ("children|@pretty", r#"["Sara", "Alex", "Jack"]"#),
        ("age|@keys", "[null]"),
    ] {
        assert_eq!(pick(json, path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn lines_are_an_array() {
    let json = "{\"n\":1}\n{\"n\":2}\n";
    assert_eq!(pick(json, "..#").as_deref(), Some("2"));
    assert_eq!(pick(json, "..1.n").as_deref(), Some("2"));
    assert_eq!(pick(json, "..#.n").as_deref(), Some("[1,2]"));
}

#[test]
fn what_is_no_json_holds_nothing_and_nothing_overflows() {
    for text in ["just words", "", "5", "\"text\"", "{", "{\"a\":", "[1", "nul"] {
        assert_eq!(pick(text, "a"), None, "{text}");
    }
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let path = "0.".repeat(1000) + "0";
    assert_eq!(pick(&deep, &path), None);
    assert_eq!(pick(&deep, "@dig:x").as_deref(), Some("[]"));
    let stars = "*".repeat(500);
    assert_eq!(pick(&format!("{{\"{}\":1}}", "a".repeat(500)), &format!("{stars}b")), None);
    assert_eq!(pick("[1]", &"[".repeat(100_000)), None);
    assert_eq!(pick("[1]", &format!("{}{}", "@this|".repeat(10_000), "0")), None);
}
