// A simulated pipe: pipe(7).

#pragma once

#include <cove/net/sim/detail/byte_queue.hpp>
#include <cove/net/sim/detail/poller.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace cove::sim::detail {

// What both ends share.
struct pipe_state {
    static constexpr std::size_t capacity = 64 * 1024;

    std::size_t room() const noexcept { return capacity - bytes.size(); }

    byte_queue bytes;
    bool has_reader = true;
    bool has_writer = true;
};

class pipe_end final : public file {
public:
    pipe_end(std::shared_ptr<pipe_state> of, bool is_read_end) noexcept
        : of_(std::move(of)), is_read_end_(is_read_end) {}

    pipe_state& state() noexcept { return *of_; }
    bool is_read_end() const noexcept { return is_read_end_; }

    std::uint32_t ready_for() noexcept override;
    void close() override { (is_read_end_ ? of_->has_reader : of_->has_writer) = false; }

private:
    std::shared_ptr<pipe_state> of_;
    bool is_read_end_;
};

}  // namespace cove::sim::detail
