#ifndef FUZZ_MUTATE_MESSAGE_HPP_
#define FUZZ_MUTATE_MESSAGE_HPP_

#include <google/protobuf/message.h>

#include <random>

/// @brief Changes some fields of a message and of those within it: they are
///        set, cleared, repeated, removed, swapped, or given the value of
///        another one. Names are taken from those that are there.
void MutateMessage(std::mt19937* random, google::protobuf::Message* message);

#endif  // FUZZ_MUTATE_MESSAGE_HPP_
