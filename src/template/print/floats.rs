//! Floats, as `strconv.FormatFloat` writes them.

/// A float as `strconv.FormatFloat` writes it; no precision means the fewest digits that tell it apart.
pub(in super::super) fn float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match verb {
        'b' => binary(value),
        'x' | 'X' => {
            let text = hexadecimal(value, precision);
            if verb == 'X' { text.to_ascii_uppercase() } else { text }
        }
        'f' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        'e' | 'E' => scientific(value, verb, precision),
        _ => general(value, if verb == 'G' { 'E' } else { 'e' }, precision),
    }
}

fn scientific(value: f64, letter: char, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}

fn general(value: f64, letter: char, precision: Option<usize>) -> String {
    // Go takes precision 0 for 1.
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let digits = i64::try_from(mantissa.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i64::MAX);
    let mut threshold = precision.map_or(6, |precision| i64::try_from(precision).unwrap_or(i64::MAX));
    if precision.is_some() && threshold > digits && digits > exponent {
        threshold = digits;
    }
    if exponent < -4 || exponent >= threshold {
        let (sign, exponent) = if exponent < 0 { ('-', -exponent) } else { ('+', exponent) };
        return format!("{mantissa}{letter}{sign}{exponent:02}");
    }
    let fraction = usize::try_from((digits - 1 - exponent).max(0)).unwrap_or(0);
    format!("{value:.fraction$}")
}

fn parts(value: f64) -> (bool, i64, u64) {
    let bits = value.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7FF).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 {
        (bits >> 63 == 1, -1074, fraction)
    } else {
        (bits >> 63 == 1, exponent - 1075, fraction | 1 << 52)
    }
}

fn binary(value: f64) -> String {
    let (negative, exponent, mantissa) = parts(value);
    format!("{}{mantissa}p{exponent:+}", if negative { "-" } else { "" })
}

fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (negative, mut exponent, mut mantissa) = parts(value);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One bit in front of the point, 60 behind it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let dropped = u32::try_from(precision).map_or(0, |precision| 60 - 4 * precision);
        let half = 1_u64 << (dropped - 1);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 61 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        Some(precision) => {
            fraction.truncate(precision);
            while fraction.len() < precision {
                fraction.push('0');
            }
        }
        None => fraction.truncate(fraction.trim_end_matches('0').len()),
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if negative { "-" } else { "" };
    let power = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{fraction}p{power}{:02}", mantissa >> 60, exponent.abs())
}

/// Under `#`, a float shows its point and all the digits of its precision.
pub(super) fn with_all_digits(shown: &str, verb: char, precision: Option<usize>) -> String {
    let mut digits = match verb {
        'v' | 'g' | 'G' | 'x' => i64::try_from(precision.unwrap_or(6)).unwrap_or(0),
        _ => 0,
    };
    let tail_at = shown.find(|c| matches!(c, 'p' | 'P') || matches!(c, 'e' | 'E') && !matches!(verb, 'x' | 'X'));
    let (head, tail) = shown.split_at(tail_at.unwrap_or(shown.len()));
    let mut head = head.to_owned();
    let mut nonzero = false;
    for character in head.chars().skip(1).filter(|c| *c != '.') {
        nonzero |= character != '0';
        digits -= i64::from(nonzero);
    }
    if !head.contains('.') {
        if head.len() == 2 && head.ends_with('0') {
            digits -= 1;
        }
        head.push('.');
    }
    let missing = usize::try_from(digits).unwrap_or(0);
    head + &"0".repeat(missing) + tail
}
