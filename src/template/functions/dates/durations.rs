//! Durations, such as `1h1m1s`.

/// A duration as Go writes it: `1h1m1s`.
pub(in super::super::super) fn duration_text(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let point = |whole: u64, fraction: u64, digits: usize| {
        let fraction = format!("{fraction:0digits$}");
        match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        }
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", point(size / 1_000, size % 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", point(size / 1_000_000, size % 1_000_000, 6)),
        _ => {
            let seconds = size / 1_000_000_000;
            let last = point(seconds % 60, size % 1_000_000_000, 9);
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => format!("{sign}{last}s"),
                (0, minutes) => format!("{sign}{minutes}m{last}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{last}s"),
            }
        }
    }
}

/// A duration such as `-1.5h` or `24h30m`, in nanoseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_length);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_length = after.bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit()).count();
        let (unit, after) = after.split_at(unit_length);
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut value = whole.checked_mul(unit)?;
        if !fraction.is_empty() {
            let digits = &fraction[..fraction.len().min(18)];
            let numerator: f64 = digits.parse().ok()?;
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "as Go does it"
            )]
            let part = (numerator * (unit as f64 / 10_f64.powi(i32::try_from(digits.len()).ok()?))) as u64;
            value = value.checked_add(part)?;
        }
        total = total.checked_add(value).filter(|total| *total <= 1 << 63)?;
        rest = after;
    }
    if negative {
        return 0_i64.checked_sub_unsigned(total);
    }
    i64::try_from(total).ok()
}

/// To the nearest multiple, half away from zero.
pub(super) fn rounded(nanoseconds: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return nanoseconds;
    }
    let (number, unit) = (i128::from(nanoseconds), i128::from(unit));
    let half = if number < 0 { -unit } else { unit };
    let result = (2 * number + half) / (2 * unit) * unit;
    i64::try_from(result).unwrap_or(if result < 0 { i64::MIN } else { i64::MAX })
}
