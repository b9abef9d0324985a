<?php
// What PHP serves, by its built-in server and by FastCGI, in several processes so that one
// request can wait for another. Their only common memory is a folder.
$tokens = getenv("TOKENS") . "/tokens";

function change(string $file, int $by): bool
{
    $handle = fopen($file, "c+");
    flock($handle, LOCK_EX);
    $count = (int) stream_get_contents($handle) + $by;
    if ($count >= 0) {
        ftruncate($handle, 0);
        rewind($handle);
        fwrite($handle, (string) $count);
    }
    flock($handle, LOCK_UN);
    return $count >= 0;
}

function acquire(string $file): void
{
    while (!change($file, -1)) {
        usleep(1000);
    }
}

function pattern(int $length): void
{
    $block = "";
    for ($at = 0; $at < 65536; $at++) {
        $block .= chr($at % 251);
    }
    for (; $length > 0; $length -= 65536) {
        echo substr($block, 0, min($length, 65536));
        flush();
    }
}

while (ob_get_level()) {
    ob_end_clean();
}
switch (strtok($_SERVER["REQUEST_URI"], "?")) {
    case "/json":
        $fields = [];
        foreach ($_SERVER as $name => $value) {
            if (str_starts_with($name, "HTTP_")) {
                $fields[] = [strtolower(strtr(substr($name, 5), "_", "-")), $value];
            }
        }
        header("Content-Type: application/json");
        echo json_encode([
            "method" => $_SERVER["REQUEST_METHOD"],
            "target" => $_SERVER["REQUEST_URI"],
            "fields" => $fields,
        ], JSON_UNESCAPED_SLASHES);
        break;
    case "/upload":
        $digest = hash_init("sha256");
        $input = fopen("php://input", "rb");
        $bytes = hash_update_stream($digest, $input);
        header("Content-Type: application/json");
        echo json_encode(["bytes" => $bytes, "sha256" => hash_final($digest)]);
        break;
    case "/download":
        header("Content-Type: application/octet-stream");
        pattern((int) $_GET["bytes"]);
        break;
    case "/events":
        header("Content-Type: text/event-stream");
        for ($number = 0; $number < 5; $number++) {
            if ($number) {
                acquire($tokens);
            }
            echo "data: $number\n\n";
            flush();
        }
        break;
    case "/slow":
        acquire($tokens);
        echo "slow";
        break;
    case "/next":
        change($tokens, 1);
        http_response_code(204);
        break;
    case "/cookies":
        foreach (["a", "b", "c"] as $name) {
            header("Set-Cookie: $name=" . str_repeat($name, 3) . "; Path=/$name", false);
        }
        break;
    case "/gzip":
        header("Content-Encoding: gzip");
        echo gzencode("plain");
        break;
    case "/etag":
        header('ETag: "v1"');
        if (($_SERVER["HTTP_IF_NONE_MATCH"] ?? "") === '"v1"') {
            http_response_code(304);
        } else {
            echo "tagged";
        }
        break;
    default:
        http_response_code(404);
}
