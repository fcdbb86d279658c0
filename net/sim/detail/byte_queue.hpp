// Bytes that are added at one end and taken from the other.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cove::sim::detail {

class byte_queue {
public:
    std::size_t size() const noexcept { return bytes_.size() - begin_; }
    bool empty() const noexcept { return size() == 0; }
    std::string_view view() const noexcept { return std::string_view(bytes_).substr(begin_); }

    void append(std::string_view added) { bytes_.append(added); }

    void drop_front(std::size_t count) noexcept {
        begin_ += count;
        if (begin_ == bytes_.size()) {
            clear();
        } else if (begin_ > bytes_.size() / 2) {
            bytes_.erase(0, begin_);
            begin_ = 0;
        }
    }

    void clear() noexcept {
        bytes_.clear();
        begin_ = 0;
    }

private:
    std::string bytes_;
    std::size_t begin_ = 0;
};

}  // namespace cove::sim::detail
