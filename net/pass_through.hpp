// Passing bytes on from one connection to another: what a proxy does.

#pragma once

#include <cove/net/tcp.hpp>
#include <cove/runtime/task.hpp>

#include <cstdint>

namespace cove {

// Passes on what comes from one stream to the other, until the peer of `from` has finished sending. It does not half-close
// `to`: a proxy calls to.shutdown_write() next. Where much comes at once the bytes do not pass through the program, but
// through a pipe of the kernel's, page by page; small amounts are copied, which takes fewer calls. No more is taken from
// `from` before `to` has taken all of it, so that a slow reader slows the sender down; it costs up to a megabyte and two
// descriptors while bytes wait for it, and an idle connection none.
// Result: `passed`, kept up to date all along, counts the bytes that the socket of `to` has taken.
// Throws: what reading from `from` and writing to `to` throw, naming the side: "pass_through from fd 7: Connection
// reset by peer", or "pass_through to". Running out of descriptors is no error: without a pipe the bytes are copied.
// Cancellation and errors: what was taken from `from`, at most a megabyte, and what `to` has not taken of it is lost, so that
// neither side can go on; an operation that waits for `from` has taken nothing. Closing either ends it with errc::closed.
// Concurrency: it reads `from` and writes `to`: the other direction may run at the same time, and a stream may be passed
// through to itself. Lifetime: both streams, where they are, and `passed` must outlive the await.
// See splice(2), pipe(7), net/detail/pass_operations.cpp.
task<> pass_through(tcp_stream& from, tcp_stream& to, std::uint64_t& passed);
task<> pass_through(tcp_stream& from, tcp_stream& to);

}  // namespace cove
