//! Nothing: the cases use the topics of the package above. Cargo wants a target beside the tests.
