// Text in columns.
#pragma once

#include <string>
#include <vector>

namespace pycds::ctl {

class Table {
  public:
    enum class Align { kLeft, kRight };
    struct Column {
        std::string title;
        Align align = Align::kLeft;
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    // One cell per column; missing ones are empty, surplus ones dropped. Any bytes: text() has them
    // as printable() makes them.
    void add(std::vector<std::string> cells);

    // Titles and rows, two spaces between columns, none at the end of a line.
    std::string text() const;

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace pycds::ctl
