// What is to be sent to one peer: a bounded queue of shared messages, written many at a time.

#pragma once

#include <cove/net/message.hpp>
#include <cove/net/stream.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/clock.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/task.hpp>
#include <cove/runtime/timeout.hpp>
#include <cove/runtime/wait_queue.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cove {

// What becomes of a message for a peer that reads too slowly, when the queue is full.
enum class when_full : unsigned char {
    wait,         // push() waits for room
    drop_oldest,  // the message that has waited longest is dropped, and counted
    disconnect,   // what is not being sent is dropped, and write_to() ends with errc::too_slow; see finish()
};

struct outbox_options {
    outbox_options() noexcept {}

    std::size_t messages_max = 1024;  // with drop_oldest one more, while all of them are being written
    when_full policy = when_full::disconnect;
};

// A queue of messages for one peer: any number of coroutines push, one writes.
// Concurrency: the thread of its loop.
class outbox {
public:
    explicit outbox(const outbox_options& options = outbox_options()) noexcept : options_(options) {}

    // Queues a message if there is room or the policy makes some; never suspends.
    // Result: false, and the message is dropped, when there is no room (policy wait), the peer is too slow
    // (disconnect), or the outbox was closed. Throws: std::bad_alloc, having changed nothing.
    bool try_push(message added);

    // As try_push(), but under the policy wait it waits for room. Cancellation: the message is not queued.
    task<bool> push(message added);

    // Takes no more messages; write_to() ends when those that are queued have been sent.
    void close() noexcept;

    // Writes messages as they come, as many as are queued with each system call, until the outbox is closed.
    // Throws: errc::too_slow (see when_full::disconnect); what the stream's write() throws.
    // Cancellation: what has not been sent stays queued, to the byte: a later write_to() goes on there.
    // One coroutine at a time. Lifetime: the stream must outlive the await.
    template <stream Stream>
    task<> write_to(Stream& peer) {
        while (co_await wait_for_messages()) {
            const bool all = co_await until_overflow_.run(write_batch(peer));
            if (!all) break;
        }
        if (overflowed_) throw std::system_error(errc::too_slow, "outbox");
    }

    // Ends a session: sends what is still queued, then last_words, and closes the stream gracefully, all within patience
    // whatever the peer does. A peer that does not read now finds the last words when it does, if the stream's
    // set_unsent_max() has kept room for them in the kernel.
    // Throws nothing of the network's. Cancellation: has no effect, which is what a last word on the way out of a
    // canceled session needs.
    template <stream Stream>
    task<> finish(Stream& peer, std::string_view last_words, duration patience = std::chrono::seconds(2)) {
        close();
        co_await shield(move_on_after(patience, say_last(peer, last_words)));
        peer.close();
    }

    // How many messages wait; how many the policy has dropped so far.
    std::size_t size() const noexcept { return size_; }
    std::uint64_t dropped() const noexcept { return dropped_; }

private:
    static constexpr std::size_t batch_max = 64;

    template <stream Stream>
    task<> write_batch(Stream& peer) {
        std::string_view parts[batch_max];
        const std::size_t count = fill(parts);
        std::size_t written = 0;
        const settle_at_end guard{*this, written};
        co_await peer.write(std::span<const std::string_view>(parts, count), written);
    }

    template <stream Stream>
    task<> say_last(Stream& peer, std::string_view last_words) {
        try {
            lift_unsent_max(peer);
            while (size_ > 0) co_await write_batch(peer);
            co_await peer.write(last_words);
            co_await peer.close_gracefully();
        } catch (const std::system_error&) {
            // It is gone already, and so is whom the words were for.
        }
    }

    template <stream Stream>
    static void lift_unsent_max(Stream& peer) {
        if constexpr (requires { peer.set_unsent_max(0); }) {
            try {
                peer.set_unsent_max(0);
            } catch (const std::system_error&) {
                // Not every socket has such a limit.
            }
        }
    }

    // However the write ends, what was sent leaves the queue.
    struct settle_at_end {
        outbox& box;
        const std::size_t& written;
        ~settle_at_end() { box.settle(written); }
    };

    task<bool> wait_for_messages();
    std::size_t fill(std::span<std::string_view, batch_max> parts) noexcept;
    void settle(std::size_t sent_bytes) noexcept;
    message& at(std::size_t position) noexcept { return ring_[(first_ + position) % ring_.size()]; }
    void append(message&& added);
    void pop_first() noexcept;
    void drop_from(std::size_t position) noexcept;
    bool overflow() noexcept;

    outbox_options options_;
    std::vector<message> ring_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
    std::size_t being_written_ = 0;     // of the first messages: their bytes are lent to a write
    std::size_t first_sent_bytes_ = 0;  // of the first message
    std::uint64_t dropped_ = 0;
    bool closed_ = false;
    bool overflowed_ = false;
    cancel_scope until_overflow_;
    wait_queue messages_{"outbox: messages to send"};
    wait_queue room_{"outbox: room for a message"};
};

}  // namespace cove
