#include <cove/runtime/text.hpp>

#include <charconv>

namespace cove {

std::string text(std::initializer_list<text_part> parts) {
    std::string whole;
    for (const text_part& part : parts) {
        char digits[24];
        std::string_view characters = part.characters_;
        if (part.is_number_) {
            if (part.negative_) whole += '-';
            const auto end = std::to_chars(digits, digits + sizeof digits, part.number_).ptr;
            characters = {digits, static_cast<std::size_t>(end - digits)};
        }
        whole += characters;
    }
    return whole;
}

}  // namespace cove
