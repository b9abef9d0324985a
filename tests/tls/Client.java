// Java's HttpClient: port, CA and secret -> `ok`.

import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

class Client {
    public static void main(String[] arguments) throws Exception {
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (FileInputStream file = new FileInputStream(arguments[1])) {
            var factory = CertificateFactory.getInstance("X.509");
            roots.setCertificateEntry("root", factory.generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        var client = HttpClient.newBuilder().sslContext(context).build();
        var address = URI.create("https://localhost:" + arguments[0] + "/protected");
        var request = HttpRequest.newBuilder(address).header("X-Shared-Secret", arguments[2]);
        for (int i = 0; i < 3; i++) {
            var answer = client.send(request.build(), BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new Exception("status " + answer.statusCode());
            }
        }
        System.out.println("ok");
    }
}
