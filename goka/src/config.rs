//! Settings: where the brokers are, where state is kept, and every key of librdkafka.
