//! Shapes that serde has several methods or traits for and that are one to us.

/// Sequences, tuples and tuple structs: elements by position, given to `push` and ended by `finish`.
macro_rules! by_position {
    ($type:ident => $ok:ty) => {
        by_position!($type => $ok, SerializeSeq, serialize_element);
        by_position!($type => $ok, SerializeTuple, serialize_element);
        by_position!($type => $ok, SerializeTupleStruct, serialize_field);
    };
    ($type:ident => $ok:ty, $shape:ident, $method:ident) => {
        impl serde::ser::$shape for $type<'_> {
            type Ok = $ok;
            type Error = BindError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BindError> {
                self.push(item)
            }

            fn end(self) -> Result<$ok, BindError> {
                self.finish()
            }
        }
    };
}

/// Variants of enums that have content: CQL has nothing like them. `$refuse` makes the error from the serializer.
macro_rules! no_variants {
    ($ok:ty, $refuse:expr) => {
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<$ok, BindError> {
            $refuse(&self)
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Impossible<$ok, BindError>, BindError> {
            $refuse(&self)
        }

        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Impossible<$ok, BindError>, BindError> {
            $refuse(&self)
        }
    };
}

pub(super) use {by_position, no_variants};
