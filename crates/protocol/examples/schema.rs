//! Prints the JSON Schema of every frame: the content of `schema/hubbub.v1.schema.json`.

#[expect(clippy::print_stdout, reason = "printing is its purpose")]
fn main() {
    println!("{:#}", hubbub_protocol::schema::document());
}
