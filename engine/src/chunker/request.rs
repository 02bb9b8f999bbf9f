//! What a user may ask of the chunker: the words of `--chunker-params`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{CDC_LOG2, ChunkerError, FIXED_LOG2};

/// How files shall be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ChunkerRequest {
    /// As fits each file, and as its previous archive did it.
    #[default]
    Auto,
    /// All files content-defined: an average of 2^n bytes, or the repository's own.
    ContentDefined(Option<u8>),
    /// All files in chunks of 2^n bytes.
    Fixed(u8),
}

impl FromStr for ChunkerRequest {
    type Err = ChunkerError;

    /// `auto`, `fastcdc`, `fastcdc,AVERAGE` or `fixed,SIZE`, with sizes such as `16KiB`, `8192`, `1MiB`.
    fn from_str(text: &str) -> Result<Self, ChunkerError> {
        let refuse = |problem: String| ChunkerError::Request { text: text.to_owned(), problem };
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        match *words.as_slice() {
            ["auto"] => Ok(Self::Auto),
            ["fastcdc" | "cdc"] => Ok(Self::ContentDefined(None)),
            ["fastcdc" | "cdc", average] => {
                let log2 = parse_log2(average, CDC_LOG2).map_err(refuse)?;
                Ok(Self::ContentDefined(Some(log2)))
            }
            ["fixed", size] => parse_log2(size, FIXED_LOG2).map(Self::Fixed).map_err(refuse),
            ["fixed"] => Err(refuse("a size is missing; write for example fixed,16KiB".to_owned())),
            ["auto", ..] => Err(refuse("auto takes no parameters".to_owned())),
            _ if is_borg_style(&words) => Err(refuse(
                "borg's list of exponents is not used here: minimum and maximum follow from the average; \
                 write for example fastcdc,1MiB"
                    .to_owned(),
            )),
            _ => Err(refuse("expected auto, fastcdc, fastcdc,AVERAGE or fixed,SIZE".to_owned())),
        }
    }
}

impl fmt::Display for ChunkerRequest {
    /// In words that parse to the same request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Auto => f.write_str("auto"),
            Self::ContentDefined(None) => f.write_str("fastcdc"),
            Self::ContentDefined(Some(log2)) => write!(f, "fastcdc,{}", Size(log2)),
            Self::Fixed(log2) => write!(f, "fixed,{}", Size(log2)),
        }
    }
}

/// A power of two, in the largest unit that divides it.
struct Size(u8);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            log2 @ 20..=62 => write!(f, "{}MiB", 1_u64 << (log2 - 20)),
            log2 @ 10..=19 => write!(f, "{}KiB", 1_u64 << (log2 - 10)),
            log2 => write!(f, "{}", 1_u64 << log2.min(9)),
        }
    }
}

/// `buzhash,19,23,21,4095` and its kin: a word that may be missing, then at least three numbers.
fn is_borg_style(words: &[&str]) -> bool {
    let numbers = match words.split_first() {
        Some((&("buzhash" | "buzhash64" | "fastcdc" | "cdc" | "fixed" | "default"), numbers)) => numbers,
        _ => words,
    };
    words.first() == Some(&"buzhash")
        || (numbers.len() >= 2 && numbers.iter().all(|number| number.parse::<u32>().is_ok()))
}

fn parse_log2(text: &str, limits: RangeInclusive<u8>) -> Result<u8, String> {
    let unknown = || format!("{text:?} is not a size such as 8192, 16KiB or 1MiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..).map(str::to_ascii_lowercase).as_deref() {
        Some("" | "b") => 1,
        Some("k" | "kib") => 1 << 10,
        Some("m" | "mib") => 1 << 20,
        _ => return Err(unknown()),
    };
    let number = digits.parse::<u64>().map_err(|_| unknown())?;
    let size = number.checked_mul(factor).filter(|size| size.is_power_of_two());
    let log2 = size.and_then(|size| u8::try_from(size.ilog2()).ok()).filter(|log2| limits.contains(log2));
    log2.ok_or_else(|| {
        let (least, most) = (Size(*limits.start()), Size(*limits.end()));
        format!("the size must be a power of two from {least} to {most}, not {text}")
    })
}
