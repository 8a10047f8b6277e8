//! Numbers in words: cardinals, ordinals, years and decimals in English, numbers and rows of digits in Chinese.
//!
//! Only digits become words here. What a number means (a date, an amount, a telephone number) is the business of the front end that reads a text.

pub mod chinese;
pub mod english;
