//! How a field of [`Config`](super::Config) takes and gives a [`Value`].
//!
//! Must never hold a default or a bound: those belong to the structure and to the table of keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;
use super::value::Value;

/// A type that a key can stand for.
pub(crate) trait Field {
    /// The value, or none where nothing is set.
    fn read(&self) -> Option<Value>;

    /// Takes a value. Gives it back when the key's kind and the field's type do not fit each other, which is
    /// a mistake in the table of keys and caught by its test.
    fn write(&mut self, value: Value) -> Result<(), Value>;
}

impl Field for bool {
    fn read(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let Value::Bool(given) = value else { return Err(value) };
        *self = given;
        Ok(())
    }
}

impl Field for u64 {
    fn read(&self) -> Option<Value> {
        Some(Value::Number(*self))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let Value::Number(given) = value else { return Err(value) };
        *self = given;
        Ok(())
    }
}

impl Field for Duration {
    fn read(&self) -> Option<Value> {
        Some(Value::Duration(*self))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let Value::Duration(given) = value else { return Err(value) };
        *self = given;
        Ok(())
    }
}

impl Field for Vec<String> {
    fn read(&self) -> Option<Value> {
        Some(Value::List(self.clone()))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let Value::List(given) = value else { return Err(value) };
        *self = given;
        Ok(())
    }
}

impl Field for Vec<Secret> {
    fn read(&self) -> Option<Value> {
        Some(Value::List(self.iter().map(|secret| secret.expose().to_owned()).collect()))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let Value::List(given) = value else { return Err(value) };
        *self = given.into_iter().map(Secret::new).collect();
        Ok(())
    }
}

impl Field for SocketAddr {
    fn read(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let parsed = match &value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        *self = parsed.ok_or(value)?;
        Ok(())
    }
}

/// Types that are made from a text and given as one.
macro_rules! texts {
    ($($name:ty: |$value:ident| $text:expr, |$given:ident| $made:expr;)*) => {$(
        impl Field for $name {
            fn read(&self) -> Option<Value> {
                let $value = self;
                Some(Value::Text($text))
            }

            fn write(&mut self, value: Value) -> Result<(), Value> {
                let Value::Text($given) = value else { return Err(value) };
                *self = $made;
                Ok(())
            }
        }
    )*};
}

texts! {
    String: |value| value.clone(), |given| given;
    Secret: |value| value.expose().to_owned(), |given| Secret::new(given);
    PathBuf: |value| value.to_string_lossy().into_owned(), |given| PathBuf::from(given);
}

impl<T: Field + Default> Field for Option<T> {
    fn read(&self) -> Option<Value> {
        self.as_ref().and_then(Field::read)
    }

    fn write(&mut self, value: Value) -> Result<(), Value> {
        let mut field = T::default();
        field.write(value)?;
        *self = Some(field);
        Ok(())
    }
}

/// Implements [`Field`] for an enum whose variants each have one name, and lists the names.
macro_rules! choice {
    ($name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $name {
            /// The names in the configuration.
            pub(crate) const NAMES: &[&str] = &[$($text),*];
        }

        impl $crate::config::field::Field for $name {
            fn read(&self) -> Option<$crate::config::value::Value> {
                let name = match self { $(Self::$variant => $text),* };
                Some($crate::config::value::Value::Text(name.to_owned()))
            }

            fn write(&mut self, value: $crate::config::value::Value) -> Result<(), $crate::config::value::Value> {
                let chosen = match &value {
                    $($crate::config::value::Value::Text(text) if text == $text => Self::$variant,)*
                    _ => return Err(value),
                };
                *self = chosen;
                Ok(())
            }
        }
    };
}

pub(crate) use choice;
