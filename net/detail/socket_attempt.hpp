// What a socket operation needs where it is defined, next to its try_once(), which is thus built into how it is tried:
//
//   template class socket_operation<read_operation, std::size_t>;

#pragma once

#include <cove/net/detail/socket_operation.hpp>
#include <cove/runtime/io_operation.hpp>

namespace cove::detail {

template <class Operation, class Value>
[[gnu::hot]] bool socket_operation<Operation, Value>::start(promise_base& frame) {
    return io_waiter::start_as(static_cast<Operation&>(*this), frame);
}

template <class Operation, class Value>
[[gnu::hot]] void socket_operation<Operation, Value>::run() noexcept {
    io_waiter::run_as(static_cast<Operation&>(*this));
}

}  // namespace cove::detail
